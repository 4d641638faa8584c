//! Linux: system calls without protocol opinions.
