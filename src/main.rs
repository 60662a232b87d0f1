//! rplay: picks the command by its name and arguments.

fn main() {}
