/**
 * nginx as Debian packages it, with its DAV module for PUT, which syncs nothing, and sendfile for GET: what
 * the rates of `npm run bench:http` are held against.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { endWithThis } from './endings.ts'

export interface Nginx {
  readonly url: string
  stop(): Promise<void>
}

/** Why there is none to measure against; undefined when there is. */
export function reasonWithoutNginx(): string | undefined {
  const { status, stderr } = spawnSync('nginx', ['-V'], { encoding: 'utf8' })
  if (status !== 0) return 'nginx is not installed (apt-get install nginx)'
  return stderr.includes('http_dav_module') ? undefined : 'this nginx has no DAV module'
}

/** @throws when it does not listen within ten seconds */
export async function startNginx(folder: string): Promise<Nginx> {
  const port = await freePort()
  for (const name of ['files', 'bodies']) await mkdir(join(folder, name), { recursive: true })
  const config = join(folder, 'nginx.conf')
  await writeFile(config, configOf(folder, port))
  const child = spawn('nginx', ['-c', config, '-p', folder, '-e', join(folder, 'error.log')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  endWithThis(child)
  await listening(port)
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
    },
  }
}

function configOf(folder: string, port: number): string {
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  return `
${user}
daemon off;
worker_processes auto;
pid ${join(folder, 'nginx.pid')};
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_temp_path ${join(folder, 'bodies')};
  server {
    listen 127.0.0.1:${port};
    root ${join(folder, 'files')};
    location / { dav_methods PUT; create_full_put_path on; }
  }
}
`
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const socket = connect(port, '127.0.0.1')
    const isThere = await Promise.race([
      once(socket, 'connect').then(
        () => true,
        () => false,
      ),
      once(socket, 'close').then(() => false),
    ])
    socket.destroy()
    if (isThere) return
    await pause(50)
  }
  throw new Error('nginx does not listen')
}
