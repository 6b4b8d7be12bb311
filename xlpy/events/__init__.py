"""Events on a running host: memory errors, machine checks, power failures, DIMMs plugged and unplugged."""
