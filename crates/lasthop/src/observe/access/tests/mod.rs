//! What the access log promises, tried on real files and pipes.
