/* The smallest library: load it to find out whether C can be compiled and loaded. */
int probe(void) { return 1; }
