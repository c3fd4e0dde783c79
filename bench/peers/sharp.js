// What bench_images compares with: sharp on its own, and inside piscina, two workers each. Driven line by line, a JSON object each:
//
//     {"do":"rate","pool":"sharp"|"piscina","file":F,"width":W,"height":H,"format":X,"jobs":N,"in_flight":M}  -> jobs/s
//     {"do":"p50"}                       -> milliseconds from asking to having it, the median of the last rate
//     {"do":"write","to":T, file ... format as above, "quality":Q, "lossless":B}  -> bytes written to T
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { resize } from './sharp_job.js';

const pool = new Piscina({
  filename: fileURLToPath(new URL('./sharp_job.js', import.meta.url)),
  minThreads: 2,
  maxThreads: 2,
});

const inputs = new Map();
function bytesOf(file) {
  if (!inputs.has(file)) inputs.set(file, readFileSync(file));
  return inputs.get(file);
}

let trips = [];
async function rate({ pool: through, file, jobs, in_flight, ...options }) {
  const input = bytesOf(file);
  const run = through === 'piscina' ? () => pool.run({ input, ...options }) : () => resize({ input, ...options });
  trips = [];
  let left = jobs;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: in_flight }, async () => {
      while (left-- > 0) {
        const asked = performance.now();
        await run();
        trips.push(performance.now() - asked);
      }
    }),
  );
  return jobs / ((performance.now() - start) / 1e3);
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer = 0;
  if (command.do === 'rate') answer = await rate(command);
  if (command.do === 'p50') answer = trips.sort((a, b) => a - b)[trips.length >> 1];
  if (command.do === 'write') {
    const made = await resize({ ...command, input: bytesOf(command.file) });
    writeFileSync(command.to, made);
    answer = made.length;
  }
  process.stdout.write(`${answer}\n`);
}
await pool.destroy();
