// An HTTP server whose files are read and hashed by worker threads.
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const { Worker, isMainThread, parentPort } = require('worker_threads');

if (!isMainThread) {
  parentPort.on('message', ({ id, path }) => {
    const body = fs.readFileSync(path);
    const hash = crypto.createHash('sha256').update(body).digest('hex');
    parentPort.postMessage({ id, hash, body });
  });
} else {
  const workers = [0, 1, 2].map(() => new Worker(__filename));
  const waiting = new Map();
  let asked = 0;
  for (const worker of workers) {
    worker.on('message', ({ id, hash, body }) => {
      waiting.get(id)({ hash, body });
      waiting.delete(id);
    });
  }
  const read = (path) => new Promise((resolve) => {
    const id = asked++;
    waiting.set(id, resolve);
    workers[id % workers.length].postMessage({ id, path });
  });
  const server = http.createServer(async (request, response) => {
    const { hash, body } = await read('.' + request.url);
    const again = crypto.createHash('sha256').update(body).digest('hex');
    response.writeHead(again === hash ? 200 : 500, { 'Content-Length': body.length });
    response.end(body);
  });
  server.listen(Number(process.argv[2]), '127.0.0.1');
}
