// What bench_buffers compares with: a 100 MB ArrayBuffer to a worker thread and back, transferred and cloned, and a
// word that two threads take turns with. Driven line by line, so that the figures are measured interleaved:
//
//     transfer          -> milliseconds there and back
//     clone             -> likewise
//     pingpong ROUNDS   -> microseconds a round, the median
import { Worker } from 'node:worker_threads';
import { createInterface } from 'node:readline';

const BYTES = 100 * 1024 * 1024;
const worker = new Worker(
  `
  const { parentPort } = require('node:worker_threads');
  parentPort.on('message', ({ buffer, transfer, shared, rounds }) => {
    if (shared) {
      const words = new Int32Array(shared);
      for (let seen = 0; seen < rounds; ) {
        Atomics.wait(words, 0, seen);
        seen = Atomics.load(words, 0);
        Atomics.store(words, 1, seen);
        Atomics.notify(words, 1, 1);
      }
      parentPort.postMessage({});
      return;
    }
    parentPort.postMessage({ buffer }, transfer ? [buffer] : []);
  });
`,
  { eval: true },
);

const answer = () => new Promise((resolve) => worker.once('message', resolve));
const now = () => Number(process.hrtime.bigint()) / 1e3;

let buffer = new ArrayBuffer(BYTES);
new Uint8Array(buffer).fill(7);

async function thereAndBack(transfer) {
  const start = now();
  const back = answer();
  worker.postMessage({ buffer, transfer }, transfer ? [buffer] : []);
  buffer = (await back).buffer;
  return (now() - start) / 1e3;
}

async function pingPong(rounds) {
  const shared = new SharedArrayBuffer(64);
  const words = new Int32Array(shared);
  const done = answer();
  worker.postMessage({ shared, rounds });
  const trips = [];
  for (let round = 1; round <= rounds; round++) {
    const start = now();
    Atomics.store(words, 0, round);
    Atomics.notify(words, 0, 1);
    while (Atomics.load(words, 1) !== round) Atomics.wait(words, 1, round - 1);
    trips.push(now() - start);
  }
  await done;
  trips.sort((a, b) => a - b);
  return trips[Math.floor(rounds / 2)];
}

for await (const line of createInterface({ input: process.stdin })) {
  const [what, rounds] = line.split(' ');
  const figure = what === 'pingpong' ? await pingPong(Number(rounds)) : await thereAndBack(what === 'transfer');
  process.stdout.write(`${figure}\n`);
}
await worker.terminate();
