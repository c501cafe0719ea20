import { Flags } from '@oclif/core'
import { BaseCommand } from '../src/cli/base-command.ts'
import { writeWarning } from '../src/cli/output.ts'
import { readConfig } from '../src/cli/read-config.ts'
import { serveUntilStopped } from '../src/cli/serve-until-stopped.ts'
import { serverFlags } from '../src/cli/server-flags.ts'

export default class Server extends BaseCommand {
  static override summary = 'Run a site: storage, HTTP and replication in one process.'

  static override description =
    'Stores objects below --storage, answers S3 requests at the root and the control plane under ' +
    '/admin, and ships every change to the remote if there is one. Logs go to stdout; the record ' +
    '"listening" says that the site is ready and at which URL. SIGTERM and SIGINT finish what is ' +
    'in flight and exit 0; SIGHUP takes over tokens and certificates as they are configured ' +
    'then.\n\n' +
    'Every flag is also a key in the configuration file and an environment variable: --storage ' +
    'is server.storage_path and COMIO_SERVER_STORAGE_PATH. A flag wins over the environment, that ' +
    'over the file, that over the default. man comio-config lists all keys.'

  static override examples = [
    '<%= config.bin %> server',
    '<%= config.bin %> server --config config.yaml',
    '<%= config.bin %> server --storage /srv/comio --size 1TB --port 9000',
    '<%= config.bin %> server --replication-enabled --replication-token "$TOKEN" \\\n' +
      '    --replication-remote https://site-b.example.com',
    '<%= config.bin %> server --host 10.0.0.2 --tls-cert site-b.pem --tls-key site-b.key',
    '<%= config.bin %> server --port 8081 --storage ./site-b --replication-accept-token "$TOKEN"',
  ]

  static override flags = {
    ...serverFlags,
    'force-format': Flags.boolean({
      summary: 'Overwrite what else is at --storage. Never overwrites a ComIO volume.',
    }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Server)
    const { config, warnings } = await readConfig(flags)
    for (const warning of warnings) writeWarning(warning)
    const { startServer } = await import('../src/server/start-server.ts')
    const forceFormat = flags['force-format']
    const load = async () => (await readConfig(flags)).config
    await serveUntilStopped((signal) => startServer(config, { signal, load, forceFormat }))
  }
}
