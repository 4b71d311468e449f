//! Validates exchanges, on threads of its own or inline while traffic waits.

mod exchange_validation;
mod validator;
mod worker;

pub use exchange_validation::ExchangeValidation;
pub use validator::{MakeValidator, ValidateExchange};
pub use worker::Workers;
