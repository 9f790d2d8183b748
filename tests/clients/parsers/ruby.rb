# For files.py: what the AWS SDK for Ruby reads in the files named on standard input.
require "json"
require "aws-sdk-core"

STDIN.each_line(chomp: true) do |name|
  read = begin
    Aws::IniParser.ini_parse(File.read(name))
  rescue NoMethodError
    nil
  end
  puts JSON.generate(read)
end
