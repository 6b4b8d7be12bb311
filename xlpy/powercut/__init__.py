"""What a guest really made durable: traces of its stores, flushes and fences, and the states a power failure leaves."""
