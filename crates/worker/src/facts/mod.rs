//! Facts about the host, one file per subset.
