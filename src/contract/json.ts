/**
 * The type of a value after it has passed through JSON: dates become text (RFC 3339), and everything else keeps its
 * shape.
 */
export type Json<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? Json<Item>[]
    : T extends object
      ? { [Key in keyof T]: Json<T[Key]> }
      : T
