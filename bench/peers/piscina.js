// No-op jobs through piscina with 2 threads: the round trip, and jobs/s at 1, 16 and 256 in flight.
// Usage: npm install && node piscina.js
import { Piscina } from 'piscina';
import { fileURLToPath } from 'node:url';

const pool = new Piscina({
  filename: fileURLToPath(new URL('./noop.js', import.meta.url)),
  minThreads: 2,
  maxThreads: 2,
  concurrentTasksPerWorker: 16,
});

async function rate(inFlight, jobs) {
  let left = jobs;
  const start = process.hrtime.bigint();
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (left-- > 0) await pool.run();
    }),
  );
  return jobs / (Number(process.hrtime.bigint() - start) / 1e9);
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

await rate(16, 20000); // warm
const trips = [];
for (let i = 0; i < 10000; i++) {
  const start = process.hrtime.bigint();
  await pool.run();
  trips.push(Number(process.hrtime.bigint() - start) / 1e3);
}
trips.sort((a, b) => a - b);
console.log(`piscina, 2 threads: round trip p50 ${trips[5000].toFixed(1)} us, p99 ${trips[9900].toFixed(1)} us`);
for (const inFlight of [1, 16, 256]) {
  const rates = [];
  for (let i = 0; i < 5; i++) rates.push(await rate(inFlight, inFlight === 1 ? 10000 : 50000));
  console.log(`  ${String(inFlight).padStart(4)} in flight  ${median(rates).toFixed(0)} jobs/s`);
}
await pool.destroy();
