# Runs cases of the official interoperability client of the gem. It prints a line a case: its name, a tab, and "ok" or the failure.

require 'json'

settings = JSON.parse(ARGV.shift)
load File.join(settings['scripts'], 'client.rb')

options = Args.new
options.server_host, options.server_port = settings['connect'].split(':')
options.secure = false
outcomes = $stdout.dup
$stdout.reopen(File::NULL) # the cases print as well

settings['cases'].each do |name|
  options.test_case = name # one of them needs another stub
  NamedTests.new(create_stub(options), options).method(name).call
  outcomes.puts("#{name}\tok")
rescue StandardError => e
  outcomes.puts("#{name}\t#{e.full_message(highlight: false).gsub(/\s+/, ' ')}")
ensure
  outcomes.flush
end
exit!(0)
