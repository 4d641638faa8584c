//! Other people's programs: the runner process, checks and notify queues.
//!
//! The service thread holds a [`handle::Runner`] and speaks [`protocol`] with it; the process at the
//! other end is [`runner::main`], the same binary executed again. Only that process ever starts a
//! program. [`checks`] and [`notify`] keep the books without knowing a process or a clock, [`vet`]
//! judges a program before it is used, [`users`] says as whom it runs. [`probe`] and
//! [`watch`] do without a program.

mod capture;
pub mod checks;
pub mod handle;
pub mod notify;
pub mod probe;
pub mod protocol;
pub mod runner;
mod told;
pub mod users;
pub mod vet;
pub mod vigil;
pub mod watch;
