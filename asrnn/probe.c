/* The least that can be compiled and loaded. */
int probe(void) { return 1; }
