//! Talk with operators: the Varlink socket and what is shown.
