//! Bad input, a journey each: a clear error to the person, the exact cause in the log, nothing secret anywhere,
//! nothing lost.

mod addresses;
mod api;
mod parameters;
mod whose;
