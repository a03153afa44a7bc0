/**
 * Flags of Node with which a plane is to be run (tools/run.mjs, container images): a small young generation. By itself V8 lets it
 * grow to 3 × 16 MiB and the old one with it whenever many requests come at once, and gives little of that back. Measured with 500
 * agents at rest: 415 MiB resident without, 308 MiB with it.
 */
export const planeNodeFlags: readonly string[] = ['--max-semi-space-size=4'];
