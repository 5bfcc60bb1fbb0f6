"""What surrounds every request: its connection, its log line, who may send it, its body."""
