// What ThreadSanitizer gets wrong here. liburing maps its rings by system calls of its own, which it does not
// see, so a ring where another thread's used to be looks like one that both use.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "race:io_uring_prep_rw\nrace:io_uring_cq_ready\n";
}
