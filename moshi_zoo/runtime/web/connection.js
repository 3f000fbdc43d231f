import { fromInt16, toInt16 } from "./pcm.js";
import { Problem, serverProblem } from "./problem.js";
import { address, lookAtServer } from "./server.js";

// The first byte of every message says what it is (Kyutai's websocket protocol).
const KIND = { handshake: 0, audio: 1, text: 2, control: 3, metadata: 4, error: 5, ping: 6, heard: 7 };
const SILENCE_MS = 10_000; // a server that talks sends a frame every 80 ms

/** A conversation's websocket: 16-bit samples at 24 kHz both ways, text of both speakers from the server. */
export class Connection {
  /**
   * Returns when the server is ready to listen.
   * @param {object} query     sampling parameters and seeds
   * @param {object} listeners onaudio(Float32Array), ontext(string, "moshi" or "you"), onmetadata(object),
   *                           onclose(Problem)
   */
  static async open(query, listeners) {
    const connection = new Connection(query, listeners);
    try {
      await connection.ready;
    } catch (problem) {
      await lookAtServer(); // it knows better why: full, loading, gone
      throw problem;
    }
    return connection;
  }

  constructor(query, listeners) {
    this.listeners = listeners;
    this.decoder = new TextDecoder();
    const url = address("api/chat", { ...query, format: "pcm", heard: 1 });
    url.protocol = url.protocol.replace("http", "ws");
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    this.ready = new Promise((resolve, reject) => {
      this.onready = resolve;
      this.onclose = reject;
    });
    this.socket.onmessage = ({ data }) => this.#receive(new Uint8Array(data));
    this.socket.onclose = () => this.#lost("The connection to the server was lost.");
    this.#expectMore();
  }

  /** Sends one frame of the user's voice, -1 to 1. */
  send(samples) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    const message = new DataView(new ArrayBuffer(1 + 2 * samples.length));
    message.setUint8(0, KIND.audio);
    samples.forEach((sample, i) => message.setInt16(1 + 2 * i, toInt16(sample), true));
    this.socket.send(message);
  }

  close() {
    clearTimeout(this.silence);
    this.socket.onmessage = this.socket.onclose = null; // what is still on its way is for nobody
    this.socket.close();
  }

  #receive(message) {
    this.#expectMore();
    const body = message.subarray(1);
    if (message[0] === KIND.handshake) this.#begin();
    else if (message[0] === KIND.audio) this.listeners.onaudio(fromInt16(body));
    else if (message[0] === KIND.text) this.listeners.ontext(this.decoder.decode(body), "moshi");
    else if (message[0] === KIND.heard) this.listeners.ontext(this.decoder.decode(body.subarray(1)), "you"); // after a colour
    else if (message[0] === KIND.metadata) this.listeners.onmetadata(JSON.parse(this.decoder.decode(body)));
    else if (message[0] === KIND.error) this.said = this.decoder.decode(body);
  }

  #begin() {
    this.onclose = this.listeners.onclose; // from now on a loss ends a conversation
    this.onready();
  }

  #expectMore() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.#lost("The server has stopped answering."), SILENCE_MS);
  }

  #lost(why) {
    const { onclose, said } = this;
    this.close();
    onclose(said ? serverProblem(said) : new Problem(why));
  }
}
