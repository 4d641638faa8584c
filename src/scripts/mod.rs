//! Other people's programs: the runner process, checks and notify queues.
