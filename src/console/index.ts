/**
 * console: what a person sees of a plane. A thin client of `/views/v1`: it holds no state but what the address bar says,
 * and refetches what it shows when a doorbell rings. This file is the room's only door for programs: it builds the pages.
 */
export { buildConsole } from './build.ts';
