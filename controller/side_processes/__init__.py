"""What runs beside a session at the lowest priority, by the farm's own commands: bumped cameras, a scan for a look."""
