/**
 * A line between browser and appliance that can be cut: a TCP relay on a port of its own. Bytes
 * pass unchanged, so what is tested is the appliance's own answers.
 */
import { once } from 'node:events';
import net from 'node:net';

export class Line {
  #sockets = new Set();
  #server;
  #cut = false;
  /** Address for the browser, without a trailing slash. */
  url = '';

  /** Opens a line to the appliance at `base`. */
  static async open(base) {
    const line = new Line();
    const { hostname, port } = new URL(base);
    line.#server = net.createServer((near) => line.#relay(near, hostname, Number(port || 80)));
    line.#server.listen(0, '127.0.0.1');
    await once(line.#server, 'listening');
    line.url = `http://127.0.0.1:${line.#server.address().port}`;
    return line;
  }

  #relay(near, host, port) {
    if (this.#cut) {
      near.destroy();
      return;
    }
    const far = net.connect(port, host);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ]) {
      this.#sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }

  /** Breaks every connection and lets none through. */
  cut() {
    this.#cut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  restore() {
    this.#cut = false;
  }

  async close() {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
