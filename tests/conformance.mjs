// Runs the public suite http-tests/cache-tests (the one behind cache-tests.fyi) against Pacecar, with everything
// switched on (tests/conformance.toml) and with the shipped defaults, and prints what passed.
//
//     node tests/conformance.mjs SUITE PACECAR [RUNS]
//
// SUITE is a checkout of the suite with its packages installed, PACECAR the program. The ports 8000, 8080 and 9090 must be
// free. Ends with 1 when a run passes less than the bars below; `make conformance` does all that is needed.

import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const [suite, pacecar, runs = '1'] = process.argv.slice(2)
if (!pacecar) {
  console.error('usage: node tests/conformance.mjs SUITE PACECAR [RUNS]')
  process.exit(2)
}
const here = import.meta.dirname ?? resolve('tests')
const everythingOn = join(here, 'conformance.toml')
const folder = mkdtempSync(join(tmpdir(), 'conformance-'))

// The suite's origin and the three ports, and nothing else.
const defaults = join(folder, 'defaults.toml')
writeFileSync(defaults, readFileSync(everythingOn, 'utf8').split('[cache]')[0])

const subjects = [
  { name: 'everything on', config: everythingOn, required: 160, optimal: 97 },
  { name: 'shipped defaults', config: defaults, required: 158, optimal: 85 }
]

// What npm would tell the suite's scripts.
const env = {
  ...process.env,
  npm_package_config_protocol: 'http',
  npm_package_config_port: '8000',
  npm_package_config_base: '',
  npm_package_config_id: '',
  npm_package_config_pidfile: join(folder, 'origin.pid')
}

function start (command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], env, ...options })
  child.ended = new Promise(resolve => child.on('close', resolve))
  return child
}

async function listening (port, child) {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended before it listened on port ${port}`)
    const open = await new Promise(resolve => {
      const socket = connect(port, '127.0.0.1')
      socket.on('connect', () => { socket.destroy(); resolve(true) })
      socket.on('error', () => resolve(false))
    })
    if (open) return
    await sleep(50)
  }
}

async function run (subject) {
  const origin = start(process.execPath, ['test-engine/server/server.mjs'], { cwd: suite })
  const proxy = start(pacecar, ['--config', subject.config], { stdio: 'ignore' })
  try {
    origin.stdout.resume()
    await Promise.all([listening(8000, origin), listening(8080, proxy)])
    const client = start(process.execPath, ['--no-warnings', 'test-engine/cli.mjs'], {
      cwd: suite,
      env: { ...env, npm_config_base: 'http://127.0.0.1:8080' }
    })
    let text = ''
    client.stdout.setEncoding('utf8').on('data', part => { text += part })
    await client.ended
    return JSON.parse(text)
  } finally {
    for (const child of [origin, proxy]) {
      child.kill()
      await child.ended
    }
  }
}

const { default: suites } = await import(join(resolve(suite), 'tests/index.mjs'))
const { determineTestResult, resultTypes } = await import(join(resolve(suite), 'test-engine/lib/results.mjs'))

function score (results) {
  const passed = { required: 0, optimal: 0 }
  const failed = []
  for (const test of suites.flatMap(suite => suite.tests)) {
    const kind = test.kind ?? 'required'
    if (!(kind in passed) || test.browser_only) continue
    if (determineTestResult(suites, test.id, results, true) === resultTypes.pass) passed[kind] += 1
    else failed.push(`${test.id} (${kind})`)
  }
  return { passed, failed }
}

let below = false
for (const subject of subjects) {
  for (let turn = 1; turn <= Number(runs); turn++) {
    const { passed, failed } = score(await run(subject))
    console.log(`${subject.name}, run ${turn}: required ${passed.required} of 160, optimal ${passed.optimal} of 105`)
    console.log(`  not passed: ${failed.join(', ')}`)
    below ||= passed.required < subject.required || passed.optimal < subject.optimal
  }
}
if (below) console.error('Below the bars: required 160 and optimal 97 with everything on, 158 and 85 by default.')
process.exit(below ? 1 : 0)
