"""From numbers to the nearest image."""
