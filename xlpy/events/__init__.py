"""What happens to a running host: memory errors, machine checks, power failures, DIMMs that come and go."""
