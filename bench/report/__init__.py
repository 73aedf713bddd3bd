"""From numbers to tables and pictures."""
