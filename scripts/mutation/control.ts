/** What the mutation run and its workers say to one another, in files of a folder. */

export interface Control {
  /** The mutant that is in force; absent where it is recorded which test reaches which mutant. */
  readonly mutant?: number;
  /** Processor time after which a run counts as one that does not end. */
  readonly limitSeconds: number;
}

/** What one test file reached, by test; "" is the loading of modules. */
export interface Reached {
  readonly file: string;
  /** Processor time beside its tests: loading, and what is prepared for all of them. */
  readonly overhead: number;
  readonly tests: readonly { readonly name: string; readonly ids: readonly number[]; readonly seconds: number }[];
}
