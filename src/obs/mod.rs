//! Tell: notices become log events.
