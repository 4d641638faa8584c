//! Assembly: three threads and a runner process.
