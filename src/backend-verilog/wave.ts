/** WaveJSON as a drawing. @source WaveDrom */
import onml from "onml";
import wavedrom from "wavedrom";
import skin from "wavedrom/skins/default.js";

export function waveSvg(wave: object): string {
  return `${onml.stringify(wavedrom.renderAny(0, wave, skin))}\n`;
}
