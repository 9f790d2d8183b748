#!/usr/bin/env ruby
# frozen_string_literal: true

# A long-running program of the AWS SDK for Ruby: a call to STS for each line that it reads, by a new
# client where the line says so.

require 'aws-sdk-core'
require 'json'

$stdout.sync = true

def say(**what)
  puts JSON.generate(what)
end

# Debian's does not know AWS_ENDPOINT_URL, nor the port in AWS_EC2_METADATA_SERVICE_ENDPOINT: with the
# argument `port` this program sets it.
def options
  endpoint = ENV.fetch('AWS_ENDPOINT_URL')
  return { endpoint: endpoint } unless ARGV == ['port']

  instance = URI(ENV.fetch('AWS_EC2_METADATA_SERVICE_ENDPOINT'))
  provider = Aws::InstanceProfileCredentials.new(endpoint: instance.to_s, port: instance.port)
  { endpoint: endpoint, credentials: provider }
end

say(version: Aws::CORE_GEM_VERSION)
sts = nil
while (line = $stdin.gets)
  begin
    sts = Aws::STS::Client.new(**options) if sts.nil? || line == "anew\n"
    answer = sts.get_caller_identity
    signed = answer.context.http_request.headers['authorization']
    say(arn: answer.arn, key: signed[%r{Credential=([^/]+)}, 1])
  rescue StandardError => e
    say(error: "#{e.class.name.split('::').last}: #{e.message}")
  end
end
