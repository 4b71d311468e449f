//! Bodies.
mod multipart;
mod stream;
