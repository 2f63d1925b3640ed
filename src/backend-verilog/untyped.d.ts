/** Libraries without types, as far as they are used. */
declare module "onml" {
  const onml: { stringify(tree: unknown): string };
  export default onml;
}
declare module "wavedrom" {
  const wavedrom: { renderAny(index: number, wave: object, skin: object): unknown };
  export default wavedrom;
}
declare module "wavedrom/skins/default.js" {
  const skin: object;
  export default skin;
}
