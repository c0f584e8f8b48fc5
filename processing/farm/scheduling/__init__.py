"""What is missing and what runs next: graph, keys, planning, capacity."""
