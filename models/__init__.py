"""Networks: backbones, heads, attention, queues, teachers."""
