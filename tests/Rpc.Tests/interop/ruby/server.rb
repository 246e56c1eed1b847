# Runs the official interoperability server of the gem on a free loopback port instead of a given one on all addresses, prints the port,
# and ends with its standard input.

require 'json'
require 'grpc'

settings = JSON.parse(ARGV.shift)

# Listens where the tests want it.
module LoopbackPort
  def add_http2_port(_host, credentials)
    port = super('127.0.0.1:0', credentials)
    $stdout.puts(port)
    $stdout.flush
    port
  end
end
GRPC::RpcServer.prepend(LoopbackPort)

Thread.new do
  $stdin.read
  exit!(0)
end

ARGV.replace(['--port', '0', '--use_tls', 'false'])
load File.join(settings['scripts'], 'server.rb')
