import { FRAME, RATE } from "./duplex.js";
import { toInt16 } from "./pcm.js";

const PAUSE = 1.2; // seconds without a word that begin a new phrase

const NAMES = { moshi: "Moshi", you: "You" };

/** A conversation as it was heard and said, with what Moshi thought, and what it wrote down of you if it does. */
export class Recording {
  constructor() {
    this.frames = []; // 80 ms each: 16-bit samples of both, taking turns
    this.phrases = []; // {speaker, start, text, end}; in seconds, end when its last word came
  }

  get seconds() {
    return (this.frames.length * FRAME) / RATE;
  }

  addFrame(said, heard) {
    const both = new Int16Array(2 * FRAME);
    for (let i = 0; i < FRAME; i++) {
      both[2 * i] = toInt16(heard[i]);
      both[2 * i + 1] = toInt16(said[i]);
    }
    this.frames.push(both);
  }

  /** Adds a piece of a speaker's text and returns the phrase that it belongs to: the last one of this speaker. */
  addText(piece, speaker) {
    let phrase = this.phrases.findLast((other) => other.speaker === speaker);
    const paused = this.seconds - phrase?.end > PAUSE && piece.startsWith(" "); // never within a word
    if (paused || !phrase) {
      phrase = { speaker, start: this.seconds, text: "" };
      this.phrases.push(phrase);
    }
    phrase.end = this.seconds;
    phrase.text += piece;
    return phrase;
  }

  /** One line a phrase, with its time and, if both are known, its speaker. */
  toText() {
    const both = this.phrases.some(({ speaker }) => speaker === "you");
    const name = ({ speaker }) => (both ? `${NAMES[speaker]}: ` : "");
    return this.phrases.map((phrase) => `${clock(phrase.start)}  ${name(phrase)}${phrase.text.trim()}\n`).join("");
  }

  /** A stereo file: Moshi left, the user right, as in the data that Moshi is trained on. */
  toWav() {
    const view = new DataView(new ArrayBuffer(44));
    const bytes = 4 * FRAME * this.frames.length;
    const write = (at, word) => [...word].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
    write(0, "RIFF");
    view.setUint32(4, 36 + bytes, true);
    write(8, "WAVEfmt ");
    view.setUint32(16, 16, true); // size of the format
    view.setUint16(20, 1, true); // plain samples
    view.setUint16(22, 2, true); // channels
    view.setUint32(24, RATE, true);
    view.setUint32(28, 4 * RATE, true); // bytes a second
    view.setUint16(32, 4, true); // bytes of both channels' sample
    view.setUint16(34, 16, true); // bits a sample
    write(36, "data");
    view.setUint32(40, bytes, true);
    return new Blob([view, ...this.frames], { type: "audio/wav" }); // machines with browsers are little-endian
  }
}

/** Seconds as m:ss. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
