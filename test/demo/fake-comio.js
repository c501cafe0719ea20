// Stands in for bin/comio where a test is about processes and not about what a site does.
import { createServer } from 'node:http'

const [, , command, flag, config] = process.argv
if (command !== 'server' || flag !== '--config') process.exit(64)
if (config.includes('broken')) {
  console.log('{"level":"error","msg":"the volume is locked"}')
  process.exit(2)
}
const leaked = Object.keys(process.env).filter((name) => name.startsWith('COMIO_'))
console.log(JSON.stringify({ level: 'info', msg: 'starting', leaked }))
const server = createServer((_, response) => response.end(String(process.pid)))
server.listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`
  console.log(JSON.stringify({ level: 'info', msg: 'listening', url }))
})
process.on('SIGTERM', () => process.exit(0))
