"""The parts of a run's page: charts, its rows, pictures that lie beside it."""
