"""What the speed benchmarks time: ours and the plain transcription, by the name of the command."""
