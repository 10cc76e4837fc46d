/** A mistake that one line explains to the user: what was given, what was expected, what to do. */
export class Problem extends Error {}
