// One picture through sharp, with one thread a picture: two workers keep two cores busy.
import sharp from 'sharp';

sharp.concurrency(1);
sharp.cache(false); // every job is of a picture that was not seen before

export function resize({ input, width, height, format, quality = 80 }) {
  const scaled = sharp(Buffer.from(input.buffer, input.byteOffset, input.length)).resize(width, height, { fit: 'cover' });
  if (format === 'jpeg') return scaled.jpeg({ quality }).toBuffer();
  if (format === 'webp') return scaled.webp({ quality }).toBuffer();
  return scaled.png().toBuffer();
}

export default resize;
