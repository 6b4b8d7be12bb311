"""Silicon: DIMMs, interleave sets, media, label storage, CPU features."""
