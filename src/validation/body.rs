//! Bodies.
mod multipart;
