//! Text to settings: the keepalived language, with a diagnostic for everything that is not understood.
