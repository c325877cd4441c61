// What Node.js makes of the bytes of a connection: a line of JSON for each connection that has ended,
// [port of the client, [[method, target, body in base64, asks for an upgrade], …], error or null].
// The first line is the port that it listens on. A byte on its standard input ends all connections, with
// the error LATE; the end of that ends the program.
'use strict';
const http = require('http');

const seen = new Map(); // socket -> {port, requests, error}

// Taken where the parser hands it on, so that an error behind a request does not take it away again.
function take(request, response) {
  const pieces = [];
  request.push = (piece) => {
    if (piece !== null) {
      pieces.push(Buffer.from(piece));
      return true;
    }
    const body = Buffer.concat(pieces).toString('base64');
    seen.get(request.socket).requests.push([request.method, request.url, body, 'upgrade' in request.headers]);
    response.end();
    return true;
  };
}

const server = http.createServer({insecureHTTPParser: false}, take);
server.httpAllowHalfOpen = true; // the end of what a client sends is no reason to forget it
server.on('checkContinue', take);
server.on('checkExpectation', take);
server.on('connection', (socket) => {
  seen.set(socket, {port: socket.remotePort, requests: [], error: null});
  socket.on('end', () => setImmediate(() => socket.destroy())); // all of it has been parsed by now
  socket.on('close', () => {
    const {port, requests, error} = seen.get(socket);
    seen.delete(socket);
    process.stdout.write(JSON.stringify([port, requests, error]) + '\n');
  });
});
server.on('clientError', (error, socket) => {
  seen.get(socket).error = error.code || 'error';
  socket.destroy();
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`));
process.stdin.on('end', () => process.exit(0));
process.stdin.on('data', () => {
  for (const [socket, of] of seen) {
    of.error = 'LATE';
    socket.destroy();
  }
});
