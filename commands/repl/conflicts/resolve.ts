import { Flags } from '@oclif/core'
import { BaseCommand } from '../../../src/cli/base-command.ts'
import { writeJson, writeResult } from '../../../src/cli/output.ts'
import { numberArg } from '../../../src/cli/place-number.ts'
import { siteFlags, withClient } from '../../../src/cli/site-flags.ts'

export default class ReplConflictsResolve extends BaseCommand {
  static override summary = 'Settle a conflict for one of its two writes.'

  static override description =
    'The winner is current already: keeping it drops the copy of the loser. Keeping the loser ' +
    'writes it to its key again, as a write that has seen both; then its copy goes too. Both ' +
    'replicate, and as they arrive the other sites that noticed the conflict take it off their lists.'

  static override examples = [
    '<%= config.bin %> repl conflicts resolve 3 --keep winner',
    '<%= config.bin %> repl conflicts resolve 3 --keep loser',
  ]

  static override args = {
    id: numberArg('Number in the list.', 'a conflict'),
  }

  static override flags = {
    keep: Flags.option({
      summary: 'Which of the two.',
      options: ['winner', 'loser'] as const,
      required: true,
    })(),
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
    ...siteFlags,
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ReplConflictsResolve)
    const answer = await withClient(flags, (client) => client.resolveConflict(args.id, flags.keep))
    if (flags.json) writeJson(answer)
    else writeResult(`conflict ${answer.resolved} is resolved: the ${answer.keep} is current`)
  }
}
