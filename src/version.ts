/** Version of the compiler, as package.json has it: part of what a build is identified by. */
export const VERSION = "0.2.0";
